// Tells its arguments and a variable, and exits with 3.
for (let i = 1; i < process.argv.length; i++) console.log("argument " + process.argv[i]);
console.log("NAME=" + process.env.get("NAME"));
process.exit(3);
