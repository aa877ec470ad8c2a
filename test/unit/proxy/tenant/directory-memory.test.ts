import { join } from 'node:path'
import { test } from 'tap'
import { runCommand } from '../../../support/program.ts'

const MAIN = join(import.meta.dirname, '../../../support/tenant-memory.ts')
/** What docs/scale.md promises is 1,500 bytes resident; some of it is not of the heap. */
const MOST_BYTES = 1_200

await test('a tenant without traffic takes a kilobyte of a worker, all its claims included', async t => {
  const args = ['--expose-gc', MAIN, '20000']
  const { code, stdout, stderr } = await runCommand([process.execPath, args])
  t.equal(code, 0, stderr)
  const bytes = Number(stdout.toString())
  t.comment(`${bytes} bytes a tenant`)
  t.ok(bytes > 300 && bytes < MOST_BYTES, `${bytes} bytes`)
})
