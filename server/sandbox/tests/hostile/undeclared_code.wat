;; Denies with the code `gold`, which its descriptor does not have.
(func $evaluate (param i32) (result i32)
  (i32.store8 (i32.const 2308) (i32.const 1))
  (i32.store (i32.const 2312) (i32.const 1051))
  (i32.store (i32.const 2316) (i32.const 4))
  (i32.const 2304))
