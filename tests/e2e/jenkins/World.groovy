/**
 * The build: its variables, its workspace, and what was called. There is one.
 *
 * JenkinsPipelineUnit writes a script with all it holds to bytes and reads it back before each block, as
 * Jenkins does over a restart; what stands for the outside world must stay itself then.
 */
class World implements Serializable {
    static final World THE = new World()
    Variables env = new Variables()
    String folder
    String path
    List calls = []

    void record(String name, List args) {
        calls << [name: name, args: args.findAll { !(it instanceof Closure) }]
    }

    /** Sets variables as Jenkins' EnvVars.overrideAll does: the value is taken as it is. */
    Map push(List pairs) {
        record('withEnv', [pairs])
        Map before = new LinkedHashMap(env)
        pairs.each { pair ->
            int equals = pair.indexOf('=')
            env[pair.substring(0, equals)] = pair.substring(equals + 1)
        }
        return before
    }

    void pop(Map before) {
        Map stays = env.findAll { key, value -> key == 'PIPEGRAFT_RECORD' }
        env.clear()
        env.putAll(before + stays)
    }

    Object sh(Map args) {
        record('sh', [args])
        ProcessBuilder builder = new ProcessBuilder('sh', '-xe', '-c', args.script as String)
        builder.directory(new File(folder))
        builder.environment().clear()
        builder.environment().putAll(env.collectEntries { key, value -> [key, value as String] })
        builder.environment().put('PATH', path)
        builder.redirectError(new File(folder, '.stderr'))
        Process process = builder.start()
        String out = process.inputStream.getText('UTF-8')
        int status = process.waitFor()
        if (args.returnStatus) {
            return status
        }
        if (status != 0) {
            throw new IllegalStateException('script returned exit code ' + status)
        }
        return args.returnStdout ? out : null
    }

    private Object readResolve() {
        return THE
    }
}

/** Jenkins' `env`. */
class Variables extends LinkedHashMap<String, Object> {
    private Object readResolve() {
        return World.THE.env
    }
}

/** Jenkins' `currentBuild`, and builds that started it. */
class Run implements Serializable {
    String currentResult
    List causes = []
    List upstreamBuilds = []

    List getBuildCauses() {
        return causes.collect { [_class: it] }
    }
}
