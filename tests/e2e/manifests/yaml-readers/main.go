// Reads YAML as the programs do that files are written for, for tests of what is written. A line of standard
// input is {"reader": NAME, "text": YAML}; the line of standard output that answers it is {"value": …} or
// {"error": …}.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	goyaml "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

type question struct{ Reader, Text string }

type answer struct {
	Value any    `json:"value"`
	Error string `json:"error,omitempty"`
}

// readers: kubernetes is kubectl's, the API server's and Helm's; go is Flux's and Argo CD's own files'.
var readers = map[string]func(string) (any, error){
	"kubernetes": kubernetes,
	"go":         plain,
	"compose":    compose,
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := out.Encode(reply(lines.Bytes())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func reply(line []byte) answer {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: err.Error()}
	}
	read, known := readers[asked.Reader]
	if !known {
		return answer{Error: "no reader " + asked.Reader}
	}
	value, err := read(asked.Text)
	if err == nil {
		_, err = json.Marshal(value)
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Value: value}
}

func kubernetes(text string) (any, error) {
	var value any
	converted, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, err
	}
	return value, json.Unmarshal(converted, &value)
}

func plain(text string) (any, error) {
	var value any
	err := goyaml.Unmarshal([]byte(text), &value)
	return value, err
}

func compose(text string) (any, error) {
	details := types.ConfigDetails{ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}}}
	return loader.LoadModelWithContext(context.Background(), details, func(options *loader.Options) {
		options.SetProjectName("test", true)
	})
}
