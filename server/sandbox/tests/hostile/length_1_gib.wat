;; Grants a scope whose name has a gigabyte.
(func $evaluate (param i32) (result i32)
  (i32.store (i32.const 3072) (i32.const 1024))
  (i32.store (i32.const 3076) (i32.const 0x40000000))
  (i32.store8 (i32.const 2312) (i32.const 1))
  (i32.store (i32.const 2316) (i32.const 3072))
  (i32.store (i32.const 2320) (i32.const 1))
  (i32.const 2304))
