// Compiles each file as Jenkins would and reads it with Groovy's own lexer.
//
// usage: groovy compile.groovy REQUEST.json; REQUEST is a list of {name, text}.
// It prints, for each name, the compiler's complaint (empty if there is none) and the places of all
// brackets outside of strings, as [line, column, bracket], or null if the lexer gives up.
import com.lesfurets.jenkins.unit.global.lib.Library
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import groovy.transform.Field
import org.codehaus.groovy.antlr.SourceBuffer
import org.codehaus.groovy.antlr.UnicodeEscapingReader
import org.codehaus.groovy.antlr.parser.GroovyLexer
import org.codehaus.groovy.antlr.parser.GroovyTokenTypes
import org.codehaus.groovy.control.CompilationUnit
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.control.Phases
import org.codehaus.groovy.control.customizers.ImportCustomizer

String complaint(String name, String text, List classpath) {
    CompilerConfiguration configuration = new CompilerConfiguration()
    configuration.addCompilationCustomizers(new ImportCustomizer().addImports(Library.name))
    GroovyClassLoader loader = new GroovyClassLoader(this.class.classLoader, configuration)
    CompilationUnit unit = new CompilationUnit(configuration, null, loader)
    unit.addSource(name.replaceAll(/\W/, '_') + '.groovy', text)
    classpath.each { unit.addSource(new File(it)) }
    try {
        unit.compile(Phases.CLASS_GENERATION)
        return ''
    } catch (Throwable problem) {
        return problem.message ?: problem.class.name
    }
}

@Field static final List BRACKETS = [
    GroovyTokenTypes.LPAREN, GroovyTokenTypes.RPAREN, GroovyTokenTypes.LBRACK, GroovyTokenTypes.RBRACK,
    GroovyTokenTypes.LCURLY, GroovyTokenTypes.RCURLY,
]

List brackets(String text) {
    SourceBuffer buffer = new SourceBuffer()
    UnicodeEscapingReader reader = new UnicodeEscapingReader(new StringReader(text), buffer)
    GroovyLexer lexer = new GroovyLexer(reader)
    reader.lexer = lexer
    lexer.tabSize = 1
    def tokens = lexer.plumb()
    List found = []
    int inString = 0
    try {
        for (def token = tokens.nextToken(); token.type != GroovyTokenTypes.EOF; token = tokens.nextToken()) {
            inString += token.type == GroovyTokenTypes.STRING_CTOR_START ? 1 : 0
            inString -= token.type == GroovyTokenTypes.STRING_CTOR_END ? 1 : 0
            if (inString == 0 && token.type in BRACKETS) {
                found << [token.line, token.column, token.text]
            }
        }
        return found
    } catch (antlr.TokenStreamException given) {
        return null
    }
}

List files = new JsonSlurper().parse(new File(args[0]))
println(JsonOutput.toJson(files.collectEntries { file ->
    [(file.name): [complaint: complaint(file.name, file.text, file.sources ?: []), brackets: brackets(file.text)]]
}))
