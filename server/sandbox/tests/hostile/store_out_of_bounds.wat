;; Writes behind the end of its memory.
(func $evaluate (param i32) (result i32)
  (i32.store (i32.const -8) (i32.const 1))
  (i32.const 2304))
