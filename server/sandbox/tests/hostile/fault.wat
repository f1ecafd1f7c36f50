;; Says itself that it cannot judge.
(func $evaluate (param i32) (result i32)
  (i32.store8 (i32.const 2304) (i32.const 1))
  (i32.store (i32.const 2308) (i32.const 1038))
  (i32.store (i32.const 2312) (i32.const 7))
  (i32.const 2304))
