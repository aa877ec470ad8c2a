/** Entry of `amt`. It imports nothing by itself, so that a Node that is too old gets a sentence and no stack trace. */
const OLDEST_NODE = 24

const [major] = process.versions.node.split('.')
if (Number(major) < OLDEST_NODE) {
  process.stderr.write(`amt: needs Node ${OLDEST_NODE} or newer, this is ${process.version}\n`)
  process.exitCode = 2
} else {
  const { runProgram } = await import('./program.ts')
  await runProgram(process.argv.slice(2))
}
