//! Print what the program finds.

mod program;

fn main() {
    match program::run() {
        Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
        Err(error) => panic!("{error}"),
    }
}
