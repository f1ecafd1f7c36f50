;; Imports a function of the host: refused at upload.
(import "env" "log" (func (param i32 i32)))
