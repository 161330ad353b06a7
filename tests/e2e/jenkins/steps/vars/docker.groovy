// Docker Pipeline's `docker` for the tests: an image whose `inside` runs its body here.
def image(String name) {
    world.record('image', [name])
    return this
}

def inside(Closure body) {
    world.record('inside', [])
    body()
}
