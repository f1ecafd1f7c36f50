;; Answers with a decision that is neither `allow` nor `deny`.
(func $evaluate (param i32) (result i32)
  (i32.store8 (i32.const 2308) (i32.const 7))
  (i32.const 2304))
