/**
 * Failure isolation: a deployment that hangs, answers slowly, resets, or floods never holds anything that another tenant
 * needs. Beside each of them two quiet tenants are called a hundred times a second, one over HTTP/1.1 and one over HTTP/2,
 * and a hundred calls of the other one are under way, over both.
 */
import { t as file, test } from 'tap'
import { BAD_DEPLOYMENTS } from '../support/isolation/bad-deployments.ts'
import { IsolationLab } from '../support/isolation/isolation-lab.ts'

// There are many of them, on a machine that may be busy.
file.setTimeout(900_000)

/** Of these, what their callers do makes another story. */
const WITH_UPLOADS = new Set([
  'takes requests and hangs',
  'resets each connection with its first request',
  'answers bodies without an end',
  'answers before the request is there, and does not read the rest',
])
const TO_WHO_DOES_NOT_READ = new Set([
  'answers far more than was asked for',
  'answers bodies without an end',
  'answers bodies in the smallest pieces',
  'answers interim answers (1xx) without an end',
])

await test('nothing is held by a deployment that', async t => {
  const lab = await IsolationLab.start(t)
  for (const deployment of Object.keys(BAD_DEPLOYMENTS)) {
    for (const upstream of [1, 2] as const) {
      const name = `${deployment}, over HTTP/${upstream}`
      await t.test(name, t => lab.beside(t, { deployment, upstream }))
      if (WITH_UPLOADS.has(deployment))
        await t.test(`${name}, while its callers upload`, t =>
          lab.beside(t, { deployment, upstream, uploads: true }),
        )
      if (TO_WHO_DOES_NOT_READ.has(deployment))
        await t.test(`${name}, to callers that do not read`, t =>
          lab.beside(t, { deployment, upstream, unread: true }),
        )
    }
  }
})
