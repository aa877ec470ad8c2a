import { test } from 'tap'
import { collectGarbage } from '../../../src/runtime/collect-garbage.ts'

await test('memory that nobody uses is given back at once', t => {
  let bytes: Buffer | undefined = Buffer.alloc(64 * 1024 * 1024)
  const before = process.memoryUsage().external
  t.ok(before > bytes.length)
  bytes = undefined
  collectGarbage()
  collectGarbage()
  t.ok(process.memoryUsage().external < before - 60 * 1024 * 1024)
  t.equal((globalThis as { gc?: unknown }).gc, undefined)
  t.end()
})
