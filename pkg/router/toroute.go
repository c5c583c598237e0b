package router

// toRouters is the driver `route`: the address belongs to us, and its mailbox is
// on another machine, to which the routers know the way.
type toRouters struct{}

func (toRouters) direct(*query, *node) said {
	return said{decision: elsewhere, why: "its mailbox is elsewhere: routers"}
}
