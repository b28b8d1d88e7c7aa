// A certificate authority of the tests' own, and what makes this process believe it.

import { execFile } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';

const openssl = (...args) => promisify(execFile)('openssl', args);
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
const NAMES = 'IP:127.0.0.1,DNS:localhost,DNS:ws-mt1.pusher.com';

export class Authority {
  static async open({ name = 'Authority of a test' } = {}) {
    const authority = new Authority();
    authority.directory = await mkdtemp(join(tmpdir(), 'tidings-authority-'));
    authority.ca = authority.#path('ca.pem');
    await openssl(
      'req', '-x509', ...KEY, '-keyout', authority.#path('ca.key'), '-out', authority.ca,
      '-subj', `/CN=${name}`, '-days', '2', '-addext', 'keyUsage=critical,keyCertSign',
    );
    return authority;
  }

  /** Where the server's certificate and key are. */
  get cert() {
    return this.#path('cert.pem');
  }

  get key() {
    return this.#path('key.pem');
  }

  /** Puts a new certificate in place of the server's, as certbot and others do; gives its serial number. 0 days end at once. */
  async issue({ days = 90, names = NAMES } = {}) {
    const [key, cert] = [this.#path('new-key.pem'), this.#path('new-cert.pem')];
    const asked = this.#path('asked.pem');
    await openssl(
      'req', ...KEY, '-keyout', key, '-out', asked, '-subj', '/CN=A test',
      '-addext', `subjectAltName=${names}`, '-addext', 'basicConstraints=CA:FALSE',
    );
    await openssl(
      'x509', '-req', '-in', asked, '-out', cert, '-days', String(days), '-copy_extensions', 'copy',
      '-CA', this.ca, '-CAkey', this.#path('ca.key'),
    );
    await rename(key, this.key);
    await rename(cert, this.cert);
    return this.serial();
  }

  async serial() {
    return new X509Certificate(await readFile(this.cert)).serialNumber;
  }

  /** The arguments with which Chromium believes the certificate, by its key, whoever vouches for it. */
  async believedByChromium() {
    const { publicKey } = new X509Certificate(await readFile(this.cert));
    const hash = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
    return [`--ignore-certificate-errors-spki-list=${hash}`];
  }

  /** What a server of the test's own shows, in Node's options. */
  async pair() {
    const [cert, key] = await Promise.all([readFile(this.cert), readFile(this.key)]);
    return { cert, key };
  }

  /** The server's section. */
  toml({ port } = {}) {
    const lines = ['[tls]', `cert = "${this.cert}"`, `key = "${this.key}"`];
    if (port !== undefined) lines.push(`port = ${port}`);
    return `${lines.join('\n')}\n`;
  }

  /** Has unchanged clients in this process believe it, as NODE_EXTRA_CA_CERTS would at the start of one. */
  async believe() {
    const ca = await readFile(this.ca);
    const { createSecureContext } = tls;
    tls.createSecureContext = (options) => {
      const secure = createSecureContext(options);
      secure.context.addCACert(ca);
      return secure;
    };
  }

  /** The serial number that a server shows to someone who connects now. */
  async shownAt(port) {
    const ca = await readFile(this.ca);
    return new Promise((resolve, reject) => {
      const socket = tls.connect({ host: '127.0.0.1', port, ca }, () => {
        resolve(socket.getPeerCertificate().serialNumber);
        socket.end();
      });
      socket.on('error', reject);
    });
  }

  async close() {
    await rm(this.directory, { recursive: true });
  }

  #path(name) {
    return join(this.directory, name);
  }
}
