;; Offers the server the same memory for everything; it gets to see nonsense and nobody else does.
(func $realloc (param i32 i32 i32 i32) (result i32) (i32.const 65536))
