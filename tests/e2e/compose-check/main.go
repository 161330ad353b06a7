// Reads a Compose file as Docker Compose does, by the same library, and prints the variables and the build of each service.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	dotenv.RegisterFormat("raw", raw)
	options, err := cli.NewProjectOptions([]string{file},
		cli.WithOsEnv, cli.WithEnvFiles(), cli.WithDotEnv, cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	said := map[string]any{}
	for name, service := range project.Services {
		said[name] = map[string]any{"environment": service.Environment, "build": service.Build}
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

// raw is the format of env_file that Docker Compose brings itself: NAME=VALUE, nothing interpreted.
func raw(content io.Reader, _ string, values map[string]string, _ func(string) (string, bool)) error {
	text, err := io.ReadAll(content)
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, found := strings.Cut(line, "="); found {
			values[name] = value
		}
	}
	return err
}
