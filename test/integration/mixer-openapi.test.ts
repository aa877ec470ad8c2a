import { test } from 'tap'
import { columnReport } from '../../src/contracts/usage-report.ts'
import { ERRORS } from '../../src/core/errors.ts'
import { record, report } from '../support/ledger/reports.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

interface Operation {
  readonly operationId: string
  readonly security: readonly object[]
  readonly parameters?: readonly { readonly name: string }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content: object }>
  >
}
interface Schema {
  readonly anyOf?: readonly Schema[]
  readonly properties: Readonly<
    Record<string, { readonly items?: Schema; readonly multipleOf?: number }>
  >
  readonly required: readonly string[]
  readonly additionalProperties: boolean
}
interface Document {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

const SERVED = [
  'get /livez',
  'get /metrics',
  'get /openapi.json',
  'get /readyz',
  'get /v1/charges',
  'get /v1/exports',
  'get /v1/reconcile',
  'get /v1/usage',
  'get /v1/whoami',
  'post /v1/charges',
  'post /v1/exports',
  'post /v1/producers',
  'post /v1/quota/allocate',
  'post /v1/registration',
  'post /v1/report',
]

async function read(url: string): Promise<Document> {
  const response = await fetch(`${url}/openapi.json`)
  return response.json()
}

function operations({ paths }: Document): { path: string; method: string; operation: Operation }[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
}

await test('the document lists exactly what is served', async t => {
  const { url } = await startMixer(t)
  const document = await read(url)
  t.match(document.openapi, /^3\.1\./)
  t.match(document.info, { title: 'AMT mixer', version: /^\d+\.\d+\.\d+$/ })
  const listed = operations(document)
  t.same(listed.map(({ path, method }) => `${method} ${path}`).toSorted(), SERVED)
  t.equal(new Set(listed.map(({ operation }) => operation.operationId)).size, SERVED.length)
  for (const { path, method } of listed) {
    const { status } = await fetch(url + path, { method: method.toUpperCase() })
    t.ok(status !== 404 && status !== 405, `${method} ${path}: ${status}`)
  }
})

await test('the document tells which calls need the token', async t => {
  const { url } = await startMixer(t)
  for (const { path, method, operation } of operations(await read(url))) {
    const { status } = await fetch(url + path, { method: method.toUpperCase() })
    const token = operation.security.some(scheme => 'token' in scheme)
    // Deployments need none; they are known by where they come from, as this test is not.
    const orSource = operation.security.some(scheme => !('token' in scheme))
    t.equal(status === 401, token && !orSource, path)
    t.equal(status === 403, orSource, path)
    t.equal('401' in operation.responses, token, path)
  }
})

await test('schemas are those that the mixer checks with', async t => {
  const { url } = await startMixer(t)
  const { paths } = await read(url)
  const forms =
    paths['/v1/report']?.['post']?.requestBody?.content['application/json']?.schema?.anyOf ?? []
  t.same(
    forms.map(({ required }) => required),
    [report(1), columnReport(report(1))].map(form => Object.keys(form)),
  )
  const [schema] = forms
  t.equal(schema?.additionalProperties, false)
  const item = schema?.properties['records']?.items
  const { requestMessages: _, responseMessages: __, ...required } = record()
  t.same(item?.required.toSorted(), Object.keys(required).toSorted())
  for (const optional of ['requestMessages', 'responseMessages'])
    t.match(item?.properties[optional], { type: 'integer', minimum: 0, default: 0 }, optional)
  t.equal(item?.properties['window']?.multipleOf, 60_000)
  t.same(
    paths['/v1/usage']?.['get']?.parameters?.map(({ name }) => name),
    ['tenant', 'from', 'to', 'by', 'limit', 'cursor'],
  )
})

await test('each refusal stands under its status', async t => {
  const { url } = await startMixer(t)
  const responses = (await read(url)).paths['/v1/report']?.['post']?.responses ?? {}
  for (const code of [
    'unauthorized',
    'malformed_message',
    'report_gap',
    'window_ahead',
    'payload_too_large',
    'ledger_unavailable',
  ] as const) {
    t.match(responses[ERRORS[code].http]?.description, code)
  }
  const { status } = await fetch(`${url}/v1/usage?by=x`, {
    headers: { authorization: `Bearer ${TOKEN}` },
  })
  t.equal(status, 400)
})
