// Jenkins' node for the tests: gives a workspace for as long as its body runs.
def call(String label = '', Closure body) {
    world.record('node', [label])
    Map before = world.push(['WORKSPACE=' + world.folder, 'NODE_NAME=agent'])
    try {
        body()
    } finally {
        world.pop(before)
    }
}
