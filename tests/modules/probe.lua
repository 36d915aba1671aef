-- Tells its arguments, a variable and a file, and exits with 3.
for _, argument in ipairs(arg) do print("argument " .. argument) end
print("NAME=" .. os.getenv("NAME"))
for line in io.lines("/data/file") do print(line) end
os.exit(3)
