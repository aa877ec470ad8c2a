/** Secrets of session tickets: one after the other, the former one is kept for one period, and none without tickets. */
import { test } from 'tap'
import type { TicketSecrets } from '../../../../src/proxy/listener/tls-tickets.ts'
import { TicketRotation } from '../../../../src/proxy/primary/ticket-rotation.ts'

function listener(name: string, tickets: 'off' | { rotate: number } | undefined): never {
  return { name, tls: tickets && { tickets } } as never
}

await test('each period has a secret of its own, beside the one before', async t => {
  const told: TicketSecrets[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const rotation = new TicketRotation(([secrets]) => {
    told.push(secrets as TicketSecrets)
    if (told.length === 3) resolve()
  })
  rotation.update([listener('public', { rotate: 20 })])
  const [first] = rotation.secrets
  t.match(first, { listener: 'public', former: null })
  t.equal(Buffer.from(first?.current ?? '', 'base64').length, 32)
  await promise
  rotation.close()
  const all = [first, ...told]
  for (const [index, secrets] of told.entries()) t.equal(secrets.former, all[index]?.current)
  t.equal(new Set(all.map(each => each?.current)).size, 4)
})

await test('a listener keeps its secret while another comes and goes', async t => {
  const rotation = new TicketRotation(() => {})
  t.teardown(() => rotation.close())
  rotation.update([
    listener('a', { rotate: 1e6 }),
    listener('b', { rotate: 1e6 }),
    listener('plain', undefined),
  ])
  const [a, b] = rotation.secrets
  t.not(a?.current, b?.current)
  rotation.update([listener('a', { rotate: 2e6 }), listener('b', 'off')])
  t.same(rotation.secrets, [a])
})

await test('whoever takes over goes on with the secret, and changes it when its time is over', async t => {
  const before = new TicketRotation(() => {}, [
    { listener: 'public', current: 'of before', former: null, ageMs: 599_990 },
  ])
  before.update([listener('public', { rotate: 3_600_000 })])
  const { left: all } = before
  const [left] = all
  before.close()
  t.match(left, { listener: 'public', current: 'of before', former: null })
  t.ok((left?.ageMs ?? 0) >= 599_990 && (left?.ageMs ?? 0) < 650_000, `${left?.ageMs} ms`)

  const { promise, resolve } = Promise.withResolvers<TicketSecrets | undefined>()
  const after = new TicketRotation(([secrets]) => resolve(secrets), all)
  t.teardown(() => after.close())
  after.update([listener('public', { rotate: 600_020 })])
  t.match(after.secrets, [{ listener: 'public', current: 'of before', former: null }])
  const changed = await promise
  t.equal(changed?.former, 'of before')
  t.ok((after.left[0]?.ageMs ?? 1e9) < 60_000, 'and begins anew with the next one')
})

await test('another pace counts from when the secret was made', async t => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const rotation = new TicketRotation(
    () => resolve(),
    [{ listener: 'public', current: 'old', former: null, ageMs: 7_200_000 }],
  )
  t.teardown(() => rotation.close())
  rotation.update([listener('public', { rotate: 36_000_000 })])
  t.equal(rotation.secrets[0]?.current, 'old')
  rotation.update([listener('public', { rotate: 3_600_000 })])
  await promise
  t.equal(rotation.secrets[0]?.former, 'old')
})

await test('what an older version has left is of now', async t => {
  const rotation = new TicketRotation(() => {}, [
    { listener: 'public', current: 'old', former: 'older' },
  ])
  t.teardown(() => rotation.close())
  rotation.update([listener('public', { rotate: 1e6 })])
  t.match(rotation.left, [{ current: 'old', former: 'older' }])
  t.ok((rotation.left[0]?.ageMs ?? 1e9) < 60_000)
})
