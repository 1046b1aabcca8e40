/* Prints a greeting and a root; libm is found and comes along by itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    double number = argc > 1 ? atof(argv[1]) : 2.0;
    printf("Hello from C: the root of %g is %g\n", number, sqrt(number));
    return 0;
}
