//! What plumm promises of its file, with a disk that loses power and a disk that fails: an answer
//! means that the change is on disk, and a refusal that it is not.

mod chance;
mod crash;
mod disk;
mod faults;
mod harness;
mod power;
mod vfs;
