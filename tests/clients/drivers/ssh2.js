// The operations of clients_driven.py by Node's ssh2.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { promisify } = require('util');
const { Client } = require('ssh2');

const text = (bytes) => bytes.toString('utf8');

function operations(sftp) {
  const call = (method, ...words) => promisify(sftp[method]).call(sftp, ...words);
  const copy = (source, target) => new Promise((resolve, reject) => {
    source.on('error', reject);
    target.on('error', reject);
    target.on('close', resolve);
    source.pipe(target);
  });
  return {
    about: () => [`ssh2 ${require('ssh2/package.json').version}`],
    put: (local, remote) => call('fastPut', local, text(remote)),
    get: (remote, local) => call('fastGet', text(remote), local),
    resume_put: async (local, remote) => {
      const start = (await call('stat', text(remote))).size;
      const target = sftp.createWriteStream(text(remote), { flags: 'r+', start });
      await copy(fs.createReadStream(local, { start }), target);
    },
    resume_get: async (remote, local) => {
      const start = fs.statSync(local).size;
      const target = fs.createWriteStream(local, { flags: 'a' });
      await copy(sftp.createReadStream(text(remote), { start }), target);
    },
    names: async (remote) => (await call('readdir', text(remote))).map((entry) => entry.filename),
    rename: (old, fresh) => call('rename', text(old), text(fresh)),
    replace: (old, fresh) => call('ext_openssh_rename', text(old), text(fresh)),
    mkdir: (remote) => call('mkdir', text(remote)),
    rmdir: (remote) => call('rmdir', text(remote)),
    stat: async (remote) => {
      const found = await call('stat', text(remote));
      return [found.size, found.mode, found.mtime].map(String);
    },
    chmod: (remote, mode) => call('chmod', text(remote), Number(mode)),
    utime: (remote, seconds) => call('utimes', text(remote), Number(seconds), Number(seconds)),
    remove: (remote) => call('unlink', text(remote)),
  };
}

async function serve(sftp) {
  const known = operations(sftp);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...words] = line.split(' ');
    try {
      const results = (await known[name](...words.map((word) => Buffer.from(word, 'hex')))) || [];
      console.log(['ok', ...results.map((result) => Buffer.from(result).toString('hex'))].join(' '));
    } catch (error) {
      console.log(`failed ${Buffer.from(String(error)).toString('hex')}`);
    }
  }
}

const client = new Client();
client.on('ready', async () => {
  await serve(await promisify(client.sftp).call(client));
  client.end();
});
client.connect({
  host: process.env.SFTP_HOST,
  port: Number(process.env.SFTP_PORT),
  username: process.env.SFTP_USER,
  privateKey: fs.readFileSync(process.env.SFTP_KEY),
  hostVerifier: (key) => key.toString('base64') === process.env.SFTP_HOST_KEY,
});
