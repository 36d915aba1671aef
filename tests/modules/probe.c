// Tells its arguments, a variable and a file, and exits with 3.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) printf("argument %s\n", argv[i]);
  const char *name = getenv("NAME");
  printf("NAME=%s\n", name ? name : "");
  FILE *file = fopen("/data/file", "r");
  if (!file) {
    perror("/data/file");
    return 1;
  }
  char line[256];
  while (fgets(line, sizeof line, file)) printf("%s", line);
  fclose(file);
  return 3;
}
