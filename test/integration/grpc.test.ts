/** `@grpc/grpc-js` with nothing between client and deployment: what these two can do is what a proxy must leave them. */
import { test } from 'tap'
import { TestAuthority } from '../support/certificates.ts'
import { allKinds } from '../support/grpc/all-kinds.ts'
import { GrpcClient } from '../support/grpc/client.ts'
import { startGrpc } from '../support/grpc/service.ts'

for (const secure of [false, true]) {
  await test(`nothing between them, ${secure ? 'TLS' : 'cleartext'}`, async t => {
    const ca = await TestAuthority.create(t)
    const certificate = await ca.server(['service.test'], ['127.0.0.1'])
    const deployment = await startGrpc(t, 'acme', secure ? certificate : undefined)
    const client = new GrpcClient(deployment.port, secure ? { ca: ca.cert } : {})
    await allKinds(t, client, deployment)
    client.close()
  })
}
