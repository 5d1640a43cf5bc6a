//! The program that people use has no switch for any protection. `make hostile` checks the same of every
//! program, and that its own has them all.

use memchr::memmem;

#[test]
fn no_protection_can_be_switched_off() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_trace")).unwrap();
    let holds = |words: &str| memmem::find(&program, words.as_bytes()).is_some();
    assert!(holds("Runs DAGs of code you need not trust"), "the search finds what is there");
    for words in ["TRACE_UNSAFE_CONTROLS", "unsafe-control:"] {
        assert!(!holds(words), "{words}: build it with `--exclude trace-hostile`");
    }
}
