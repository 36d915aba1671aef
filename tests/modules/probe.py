# Tells its arguments, a variable and a file, and exits with 3.
import os
import sys

for argument in sys.argv[1:]:
    print("argument", argument)
print("NAME=" + os.environ["NAME"])
print(open("/data/file").read(), end="")
sys.exit(3)
