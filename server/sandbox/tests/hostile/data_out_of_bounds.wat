;; Has a data segment that ends behind its memory: traps before it can be asked, refused at upload.
(data $beyond (i32.const 131070) "beyond")
