;; Grows its memory until the server says no.
(func $evaluate (param i32) (result i32)
  (loop $again
    (drop (memory.grow (i32.const 16)))
    (br $again))
  (unreachable))
