// What the site's own templates fill in for the visitor who is looking at the page.
var site = {
  // Where the brand's configuration is asked for.
  configUrl: 'http://127.0.0.1:6001/api/v1/config/acorn',
  brandId: 7,
  brandName: 'acorn',
  // The operator's login of this visitor. This one is for trying the page out: see README.md.
  sid: '99999999-9999-9999-9999-999999999999-9999',
};
