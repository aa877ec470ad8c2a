/** A body in chunks that turns out to be larger than its tenant may send. */
import { codeOf, eventually, proxyTest, readAnswer, tenant } from '../support/proxy-lab.ts'

const LIMIT = 1_000
const HIDDEN = 'GET /hidden HTTP/1.1\r\nhost: acme.test\r\n\r\n'

await proxyTest('no piece of a body that is too large is read as a call', async (t, lab) => {
  const deployment = await lab.deployment()
  const proxy = await lab.proxy({
    tenants: [tenant('acme', deployment, { limits: { body: `${LIMIT}B` } })],
  })
  const client = await lab.client(proxy)
  const head = 'POST / HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n'
  await client.send(`${head}${(2 * LIMIT).toString(16)}\r\n${'a'.repeat(LIMIT - 10)}`)
  const upstream = await deployment.next()
  await upstream.readHead()
  await upstream.until(() => upstream.total > LIMIT, 'the first piece of the body')
  await client.send(`${HIDDEN}${'a'.repeat(LIMIT + 10 - HIDDEN.length)}\r\n0\r\n\r\n`)
  const answer = await readAnswer(client)
  t.equal(answer.status, 413)
  t.equal(codeOf(answer.body), 'body_too_large')
  await client.send('GET /next HTTP/1.1\r\nhost: acme.test\r\n\r\n')
  const arrived = (): string => deployment.peers.map(peer => peer.text).join('')
  await eventually(
    () => arrived().includes('/next') || arrived().includes('/hidden') || client.ended,
  )
  t.notMatch(arrived(), '/hidden')
})
