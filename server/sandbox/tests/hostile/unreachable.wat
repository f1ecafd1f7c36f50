;; Executes `unreachable`, as a panic does.
(func $panics (result i32) (unreachable))

(func $evaluate (param i32) (result i32) (call $panics))
