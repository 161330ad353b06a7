// Jenkins' withEnv for the tests: a library step, so that its body runs inside of it under CPS too.
def call(List pairs, Closure body) {
    Map before = world.push(pairs)
    try {
        body()
    } finally {
        world.pop(before)
    }
}
