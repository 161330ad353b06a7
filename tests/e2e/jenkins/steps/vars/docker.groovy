// Docker Pipeline's `docker` for the tests: an image whose `inside` runs its body here.
def image(String name) {
    world.record('image', [name])
    return this
}

def inside(String options = '', Closure body) {
    world.record('inside', options ? [options] : [])
    body()
}
