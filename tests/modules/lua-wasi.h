/* WASI has neither setjmp nor processes: an uncaught error of Lua ends the program. */
#include <stdio.h>
#include <stdlib.h>
#define LUAI_THROW(L, c) abort()
#define LUAI_TRY(L, c, a) { a }
#define luai_jmpbuf int
#define system(command) (-1)
#define tmpnam(name) NULL
#define tmpfile() NULL
#define L_tmpnam 20
