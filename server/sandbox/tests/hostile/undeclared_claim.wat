;; Adds the claim `gold`, which its descriptor does not have.
(func $evaluate (param i32) (result i32)
  (i32.store (i32.const 2400) (i32.const 1051))
  (i32.store (i32.const 2332) (i32.const 2400))
  (i32.store (i32.const 2336) (i32.const 1))
  (i32.const 2304))
