import { test } from 'tap'
import { isSaneRequestId } from '../../../../src/proxy/forward/fields.ts'
import { ids } from '../../../../src/proxy/worker/ids.ts'

await test('no two ids of two workers are the same, and each is taken for one', async t => {
  const [one, other] = [ids(), ids()]
  // Beyond two stems of 36 x 36.
  const made = Array.from({ length: 3_000 }, () => [one(), other()]).flat()
  t.equal(new Set(made).size, made.length)
  t.ok(made.every(isSaneRequestId))
})
