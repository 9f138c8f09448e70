#pragma once
/* Functions this house does not use, as compile errors. Included before every file by the build. System headers that declare
 * them come first, so that only a use fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* Some are macros in fortified headers. */
#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#undef strncpy
#undef strncat
#undef strtok
#undef alloca
#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strncat strtok gets atoi atol alloca gmtime localtime asctime ctime system popen
