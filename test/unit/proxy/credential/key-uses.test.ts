import { test } from 'tap'
import { KeyUses, KnownKey } from '../../../../src/proxy/credential/key-uses.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import { NOW, tenantConfig } from '../../../support/token-issuer.ts'

const SECOND = NOW / 1_000
const acme = Tenant.of(0, tenantConfig('acme'))
const newKey = (digest: string): KnownKey => new KnownKey(acme, digest, Number.POSITIVE_INFINITY)

await test('reports the second of the last use, and only of keys that were used since', async t => {
  const uses = new KeyUses()
  const [first, second] = [newKey('aa'), newKey('bb')]
  uses.mark(first, NOW)
  uses.mark(first, NOW + 999)
  uses.mark(second, NOW + 500)
  uses.mark(first, NOW + 2_500)
  t.same(uses.take(), [
    { tenant: 'acme', digest: 'aa', at: SECOND + 2 },
    { tenant: 'acme', digest: 'bb', at: SECOND },
  ])
  t.same(uses.take(), [])
  uses.mark(second, NOW + 700)
  t.same(uses.take(), [], 'the same second is no news')
  uses.mark(second, NOW + 1_000)
  t.same(uses.take(), [{ tenant: 'acme', digest: 'bb', at: SECOND + 1 }])
})

await test('a report is bounded, and what it leaves comes with the next ones', async t => {
  const uses = new KeyUses()
  for (let i = 0; i < 5_000; i += 1) uses.mark(newKey(`${i}`), NOW)
  const sizes = [uses.take().length, uses.take().length, uses.take().length, uses.take().length]
  t.same(sizes, [2_048, 2_048, 904, 0])
  t.equal(uses.dropped, 0)
})

await test('what waits is bounded, and what is lost is counted', async t => {
  const uses = new KeyUses()
  for (let i = 0; i < 65_536; i += 1) uses.mark(newKey(`${i}`), NOW)
  const late = newKey('late')
  uses.mark(late, NOW)
  uses.mark(late, NOW)
  t.equal(uses.dropped, 1)
  uses.take()
  uses.mark(late, NOW + 1_000)
  t.equal(uses.dropped, 1, 'its next use is seen')
})
