"""Print what TensorBoard reads from the event files of a run folder, as one JSON object: the other side of a test.

    python scripts/read_events.py runs/smoke

{"scalars": {tag: [[step, value], ...]}, "images": {tag: [[step, height, width], ...]}, "histograms": {tag: [[step, count], ...]}}
Needs tensorboard.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

everything = {"scalars": 0, "images": 0, "histograms": 0, "tensors": 0, "compressedHistograms": 0}
events = EventAccumulator(sys.argv[1], size_guidance=everything)
events.Reload()
tags = events.Tags()
print(
    json.dumps(
        {
            "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
            "images": {tag: [[e.step, e.height, e.width] for e in events.Images(tag)] for tag in tags["images"]},
            "histograms": {
                tag: [[e.step, e.histogram_value.num] for e in events.Histograms(tag)] for tag in tags["histograms"]
            },
        }
    )
)
