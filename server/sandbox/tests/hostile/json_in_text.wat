;; Adds a claim whose JSON hides a deep nest in a text, behind a name that the parser takes for its own.
(data $deep (i32.const 3072)
  "{\22$serde_json::private::RawValue\22:\22[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]\22}")
(data $claim (i32.const 2400)
  "\16\04\00\00\04\00\00\00" "\04\00\00\00\00\00\00\00" "\00\0c\00\00\52\00\00\00")
(func $evaluate (param i32) (result i32)
  (i32.store (i32.const 2332) (i32.const 2400))
  (i32.store (i32.const 2336) (i32.const 1))
  (i32.const 2304))
