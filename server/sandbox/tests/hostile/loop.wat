;; Loops for ever: stopped by its fuel.
(func $evaluate (param i32) (result i32)
  (loop $again (br $again))
  (unreachable))
