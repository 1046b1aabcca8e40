// Prints a greeting, and what it was started with.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	fmt.Println("Hello from Go:", strings.Join(os.Args[1:], " "))
}
