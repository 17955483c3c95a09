// Package main uses machines of both sides of a drop-in address with gomaasapi: juju_drop_in URL API-KEY ID ID.
//
// As Juju's provider does: it allocates, starts and marks both, finds them in the list by the model, and releases them.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/juju/gomaasapi"
)

func must(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func listed(controller gomaasapi.Controller, args gomaasapi.MachinesArgs) ([]string, []string) {
	found, err := controller.Machines(args)
	must(err, "machines")
	names, states := []string{}, []string{}
	for _, one := range found {
		names = append(names, one.Hostname())
		states = append(states, one.StatusName())
	}
	sort.Strings(names)
	sort.Strings(states)
	return names, states
}

func main() {
	url, key, ids := os.Args[1], os.Args[2], os.Args[3:]
	agent := "7d1f9a52-5d1c-4b8e-9a5e-3d3a3a3a3a3a"
	ofModel := gomaasapi.MachinesArgs{AgentName: agent}
	found := map[string]interface{}{}
	controller, err := gomaasapi.NewController(gomaasapi.ControllerArgs{BaseURL: url, APIKey: key})
	must(err, "controller")
	found["all"], _ = listed(controller, gomaasapi.MachinesArgs{})
	_, _, err = controller.AllocateMachine(gomaasapi.AllocateMachineArgs{MinMemory: 9000000, AgentName: agent})
	found["nothing fits"] = gomaasapi.IsNoMatchError(err)
	for _, id := range ids {
		machine, _, err := controller.AllocateMachine(gomaasapi.AllocateMachineArgs{SystemId: id, AgentName: agent})
		must(err, "allocate "+id)
		must(machine.Start(gomaasapi.StartArgs{DistroSeries: "noble"}), "start "+id)
		must(machine.SetOwnerData(map[string]string{"juju-model-uuid": agent}), "data of "+id)
	}
	states := []string{}
	for try := 0; try < 600; try++ {
		found["of the model"], states = listed(controller, ofModel)
		if len(states) == 2 && states[0] == "Deployed" && states[1] == "Deployed" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	found["deployed"] = states
	err = controller.ReleaseMachines(gomaasapi.ReleaseMachinesArgs{SystemIDs: ids})
	found["both at once"] = gomaasapi.IsBadRequestError(err)
	for _, id := range ids {
		must(controller.ReleaseMachines(gomaasapi.ReleaseMachinesArgs{SystemIDs: []string{id}}), "release "+id)
	}
	left := []string{"?"}
	for try := 0; try < 600 && len(left) > 0; try++ {
		left, _ = listed(controller, ofModel)
		time.Sleep(100 * time.Millisecond)
	}
	found["left"] = left
	must(json.NewEncoder(os.Stdout).Encode(found), "output")
}
