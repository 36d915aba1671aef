// Tells its arguments, a variable and a file, and exits with 3.
package main

import (
	"fmt"
	"os"
)

func main() {
	for _, argument := range os.Args[1:] {
		fmt.Println("argument", argument)
	}
	fmt.Printf("NAME=%s\n", os.Getenv("NAME"))
	data, err := os.ReadFile("/data/file")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(string(data))
	os.Exit(3)
}
