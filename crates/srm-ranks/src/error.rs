//! Name what can go wrong between ranks.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RanksError {
    /// The ranks cannot talk.
    #[error("rank {rank}: {reason}")]
    Talk {
        /// The rank that says so.
        rank: usize,
        /// What went wrong.
        reason: Reason,
    },
    /// A rank was given another thing than rank 0.
    #[error("not the {what} of rank 0: {here} here, {first} there; give all ranks the same")]
    Differs {
        /// What must be the same.
        what: String,
        /// As this rank tells it.
        here: String,
        /// As rank 0 tells it.
        first: String,
    },
    /// One of several processes, in a program that was built without MPI.
    #[error(
        "started as one of {count} processes, but this srm was built without MPI; build it with `cargo build -p srm-cli --features \
         mpi` (Debian: libopenmpi-dev openmpi-bin libclang-dev)"
    )]
    WithoutMpi {
        /// Processes that the launcher has started.
        count: usize,
    },
    /// One of several processes, and MPI does not start.
    #[error("one of {count} processes, but MPI does not start; run it by mpirun or srun --mpi=pmix")]
    MpiDoesNotStart {
        /// Processes that the launcher has started.
        count: usize,
    },
    /// What rank 0 has decided cannot be sent or read.
    #[error(transparent)]
    Decision(#[from] serde_json::Error),
    /// A block that the tree of a sum has no place for, or has had.
    #[error("block {block} of a sum over {blocks} blocks {}", if block < blocks { "is there already" } else { "is beyond the last" })]
    Block {
        /// The block's number, from 0.
        block: usize,
        /// Blocks of the sum.
        blocks: usize,
    },
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// Why ranks cannot talk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A single process has nobody to talk to.
    #[error("there is no rank {other} in a team of one")]
    NoSuchRank {
        /// The rank asked for.
        other: usize,
    },
    /// The other end is no longer there.
    #[error("rank {other} has gone")]
    Gone {
        /// The other end.
        other: usize,
    },
    /// Bytes that are no message of the kind that was due.
    #[error("a message of another rank cannot be read")]
    Unreadable,
    /// The tree of a sum lacks a block.
    #[error("a block of the gradient is missing")]
    MissingBlock,
    /// Images that do not go together.
    #[error("the ranks' images are not all {height}×{width}×{channels}")]
    ImageShapes {
        /// Pixels of rank 0's images.
        height: usize,
        /// Pixels of rank 0's images.
        width: usize,
        /// Channels of rank 0's images.
        channels: usize,
    },
    /// MPI counts in 32 bits.
    #[error("a message of {bytes} bytes is longer than MPI's 2 GiB")]
    TooLong {
        /// Bytes of the message.
        bytes: usize,
    },
    /// MPI counts in 32 bits.
    #[error("messages of {bytes} bytes together are longer than MPI's 2 GiB; take fewer images at a time")]
    TooLongTogether {
        /// Bytes of all messages.
        bytes: i64,
    },
}
